package ottl

import (
	"context"
	"fmt"
	"strings"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl"
)

// maxElements is how many elements XML may have. The library descends into it as deep as it goes, and a stack that is used up is
// nothing that could be recovered from. It is its own limit where it has one.
const maxElements = 10_000

// amendXML refuses XML with so many elements that reading it could end the process.
func amendXML[K any](c *call[K]) (ottl.ExprFunc[K], error) {
	return amendText(c, "Target", func(s string) error {
		if n := strings.Count(s, "<") - strings.Count(s, "</"); n > maxElements {
			return fmt.Errorf("the XML has %d elements; OTTL can be used on %d", n, maxElements)
		}
		return nil
	})
}

// maxUserAgent is the length of a user agent. The library tries hundreds of patterns on it, which on a text of a megabyte
// would hold a partition up for seconds.
const maxUserAgent = 4096

func amendUserAgent[K any](c *call[K]) (ottl.ExprFunc[K], error) {
	return amendText(c, "UserAgent", func(s string) error {
		if len(s) > maxUserAgent {
			return fmt.Errorf("the user agent has %d bytes; OTTL can be used on %d", len(s), maxUserAgent)
		}
		return nil
	})
}

// amendText lets check see a text argument before the function does.
func amendText[K any](c *call[K], name string, check func(string) error) (ottl.ExprFunc[K], error) {
	text, err := argument[ottl.StringGetter[K]](c, name)
	if err != nil {
		return nil, err
	}
	*text = checkedText[K]{*text, check}
	return c.create()
}

type checkedText[K any] struct {
	source ottl.StringGetter[K]
	check  func(string) error
}

func (t checkedText[K]) Get(ctx context.Context, x K) (string, error) {
	s, err := t.source.Get(ctx, x)
	if err == nil {
		err = t.check(s)
	}
	return s, err
}
