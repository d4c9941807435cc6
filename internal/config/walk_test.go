package config

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.yaml.in/yaml/v3"
)

// numbers has the kinds that no section of today uses.
type numbers struct {
	Small    int8                `mapstructure:"small"`
	Unsigned uint16              `mapstructure:"unsigned"`
	Share    float64             `mapstructure:"share"`
	Maybe    *int                `mapstructure:"maybe"`
	Wait     *time.Duration      `mapstructure:"wait"`
	List     []int               `mapstructure:"list"`
	ByName   map[string]int      `mapstructure:"by_name"`
	Secret   configopaque.String `mapstructure:"secret"`
	Rest     map[string]any      `mapstructure:",remain"`
	Hidden   string              `mapstructure:"-"`
}

func decodeNumbers(t *testing.T, text string) (numbers, string) {
	t.Helper()
	d, top, err := parse("t.yaml", []byte(text), unset)
	require.NoError(t, err)
	var into numbers
	decode(d, &yaml.Node{Line: 1, Column: 1}, top, "n", &into)
	if err := d.err(); err != nil {
		return into, err.Error()
	}
	return into, ""
}

func TestDecodeEveryKind(t *testing.T) {
	got, problems := decodeNumbers(t, "{small: -128, unsigned: 0xffff, share: 1, maybe: 3, wait: 2s, list: [1, 2], by_name: {a: 1}, secret: s, hidden: h, other: {x: [1]}}")
	require.Empty(t, problems)
	three, wait := 3, 2*time.Second
	assert.Equal(t, numbers{Small: -128, Unsigned: 65535, Share: 1, Maybe: &three, Wait: &wait, List: []int{1, 2},
		ByName: map[string]int{"a": 1}, Secret: "s", Rest: map[string]any{"hidden": "h", "other": map[string]any{"x": []any{1}}}}, got)

	got, problems = decodeNumbers(t, "{maybe: , wait: ~, list: , by_name: }")
	require.Empty(t, problems)
	assert.Equal(t, numbers{}, got)
}

func TestDecodeRefusesWhatDoesNotFit(t *testing.T) {
	_, problems := decodeNumbers(t, "{small: 128,\nunsigned: 65536,\nshare: .inf,\nmaybe: 1.5,\nlist: 5,\nby_name: [a],\nsecret: 5,\nwait: 1y}")
	assert.Equal(t, strings.Join([]string{
		`t.yaml:1:9: n.small: 128 is too large`,
		`t.yaml:2:11: n.unsigned: 65536 is too large`,
		`t.yaml:3:8: n.share: is the number .inf, but a number is wanted`,
		`t.yaml:4:8: n.maybe: is the number 1.5, but a whole number is wanted`,
		`t.yaml:5:7: n.list: is the number 5, but a list is wanted; write [a, b], or one item a line after a dash`,
		"t.yaml:6:10: n.by_name: is a list, but a block of keys and values is wanted; write one `key: value` a line below it",
		`t.yaml:7:9: n.secret: is not text; put it in quotes`,
		`t.yaml:8:7: n.wait: "1y" is not a duration; write a number with a unit, such as 500ms, 30s, 5m or 1h30m`,
	}, "\n"), problems)
}

// A mistake far down in a long file is found at its line.
func TestSyntaxErrorInALongFile(t *testing.T) {
	text := strings.Repeat("- {name: a, type: always_sample}\n", 4_000) + "-\tx: y\n" + strings.Repeat("- b\n", 500)
	_, err := Parse("t.yaml", []byte("a:\n"+text), unset)
	require.ErrorContains(t, err, "t.yaml:4002: is not YAML")
}
