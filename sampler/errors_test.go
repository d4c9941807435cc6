package sampler

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"thresher/internal/ottl"
	"thresher/policies"
)

// TestErrorsOfConditionsAreCountedOnce: by trace, and not again when settled traces are rebuilt after a restart.
func TestErrorsOfConditionsAreCountedOnce(t *testing.T) {
	var doc yaml.Node
	require.NoError(t, yaml.Unmarshal([]byte(`
- {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
- {name: ignored, type: ottl_condition, ottl_condition: {error_mode: ignore, span: ['Substring(name, 0, 100) == ""']}}
- {name: no vote, type: ottl_condition, ottl_condition: {error_mode: propagate, span: ['attributes["cost"] + 1 == 3']}}
`), &doc))
	plan, err := policies.Parse(doc.Content[0], policies.Options{Conditions: ottl.New()})
	require.NoError(t, err)
	l, s := Limits{LateWindow: 12_000}, Settings{Plan: plan, DecisionWait: 8000}
	log := []logRecord{{100_000, spans(t, "a1 error\na2\nb1")}, {101_000, spans(t, "c1 error")}, {109_500, spans(t, "a3\nd1")}}
	m, err := New(l, s)
	require.NoError(t, err)
	for i, r := range log {
		require.NoError(t, m.Record(Offset(i), r.at, r.value))
	}
	require.Equal(t, []string{"a1", "a2", "c1", "a3"}, took(t, m))
	counts := func(m *Machine) (erred, failed [2]uint64) {
		p := m.Stats().Policies
		require.Equal(t, "no vote", p[3].Name)
		require.Zero(t, p[1].Erred)
		return [2]uint64{p[2].Erred, p[3].Erred}, [2]uint64{p[2].Failed, p[3].Failed}
	}
	erred, failed := counts(m)
	require.Equal(t, [2]uint64{3, 3}, erred, "a, b and c; a late span is not decided")
	require.Equal(t, [2]uint64{0, 3}, failed)
	var told []string
	for _, e := range m.TakeErrors() {
		told = append(told, e.Policy)
		require.Equal(t, e.Policy == "ignored", e.Ignored)
	}
	require.Equal(t, []string{"ignored", "no vote"}, told)
	require.Empty(t, m.TakeErrors())

	m = reread(t, l, s, m.Checkpoint())
	for i, r := range log {
		require.NoError(t, m.Record(Offset(i), r.at, r.value))
	}
	erred, failed = counts(m)
	require.Equal(t, [4]uint64{}, [4]uint64{erred[0], erred[1], failed[0], failed[1]}, "what was settled is decided again, and not counted")
	until(m, 130_000)
	erred, _ = counts(m)
	require.Equal(t, [2]uint64{1, 1}, erred, "d")
}
