//go:build !race

package policies

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func repeated(n int, policy func(i int) string) string {
	var list []string
	for i := range n {
		list = append(list, policy(i))
	}
	return policyList(list...)
}

// A list is refused if a usual trace would have to be looked at too often, and not for policies of which a trace can match only a few.
func TestListsThatTakeTooLong(t *testing.T) {
	salted := func(i int) string {
		return fmt.Sprintf("probabilistic, probabilistic: {sampling_percentage: 10, hash_salt: s%d}", i)
	}
	tenant := func(i int) string {
		return fmt.Sprintf("string_attribute, string_attribute: {key: tenant, values: [t%d]}", i)
	}
	percent := func(i int) string { return fmt.Sprintf("probabilistic, probabilistic: {sampling_percentage: %d}", 1+i) }
	for text, refused := range map[string]bool{
		repeated(50, func(i int) string { return statAnd(tenant(i), percent(i), statRate) }):                                false,
		repeated(50, func(i int) string { return statAnd(percent(i), statRate, tenant(i)) }):                                false,
		repeated(10, func(i int) string { return statAnd(salted(i), tenant(i)) }) + "- {name: l, type: " + statRate + "}\n": false,
		repeated(10, func(i int) string { return statAnd(salted(i), statRate) }):                                            true,
		repeated(60, func(i int) string { return statAnd(percent(i), statRate) }):                                           true,
		repeated(10, salted): false,
		repeated(11, salted): true,
	} {
		_, err := parseOptions(text, Options{})
		if refused {
			require.ErrorContains(t, err, "give them the same hash_salt", text)
		} else {
			require.NoError(t, err, text)
		}
	}
}

// Policies that the Collector does not have answer the same in strict lists.
func TestOwnPoliciesInStrictLists(t *testing.T) {
	t.Parallel()
	for _, text := range []string{policyList(statDiversity), policyList(statAdaptive), policyList(statShare), policyList(statBaseline)} {
		strict, usual := newFleet(t, text, Options{Strict: true}), newFleet(t, text, Options{})
		c := newCrowd(usual.plan, 1)
		kept := 0
		var got, want []fate
		for tick := range int64(60) {
			list, _ := c.visits(zipf(30, 40), 1)
			got, want = strict.tick(statEpoch+tick*1000, list, got), usual.tick(statEpoch+tick*1000, list, want)
			for i := range want {
				if got[i].kept != want[i].kept {
					t.Fatalf("%s: %v, strict %v", strings.TrimSpace(text), want[i], got[i])
				}
				if got[i].kept {
					kept++
				}
			}
		}
		require.Positive(t, kept, text)
	}
}
