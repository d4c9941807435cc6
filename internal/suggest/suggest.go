// Package suggest finds the name that somebody probably meant who wrote one that is not known.
//
//	word, known names --Nearest--> one of the names, or "" --DidYouMean--> the end of a message
//
// It promises that the answer depends on the word and the set of names alone, not on their order, and that a word of any
// length costs no more than its length plus work that the known names bound. It does not promise to find a name: a guess
// that is far off sends people the wrong way, so where nothing is near, the caller had better list what is known.
package suggest

import (
	"slices"
	"strconv"
	"strings"
)

// DidYouMean returns `; did you mean "name"?` with the name that Nearest finds, to be put behind a message, or "" if it
// finds none.
func DidYouMean(word string, known []string) string {
	if name := Nearest(word, known); name != "" {
		return "; did you mean " + strconv.Quote(name) + "?"
	}
	return ""
}

// Nearest returns the known name that word was probably meant to be, or "". Case and separators do not count. A name is
// near if few slips, for its length, lead to word, or else if one of the two begins with the other.
func Nearest(word string, known []string) string {
	known = slices.Sorted(slices.Values(known)) // of equally near names always the same
	best, bestDistance := "", len(word)
	folded := fold(word)
	for _, candidate := range known {
		name, limit := fold(candidate), 1+min(len(word), len(candidate))/4
		if max(len(folded)-len(name), len(name)-len(folded)) > limit {
			continue // that many edits it takes at least, and counting them takes the product of the lengths
		}
		if distance := edits(folded, name); distance <= limit && distance < bestDistance {
			best, bestDistance = candidate, distance
		}
	}
	if best != "" || len(folded) < 4 {
		return best
	}
	// Nothing is a slip away, so perhaps a word is missing or too many: user, endpoint_url.
	for _, candidate := range known {
		if name := fold(candidate); strings.HasPrefix(name, folded) {
			return candidate
		} else if len(name) >= 4 && strings.HasPrefix(folded, name) && len(candidate) > len(best) {
			best = candidate
		}
	}
	return best
}

// fold makes names equal that differ only in case and separators: batchSize, batch-size, batch_size.
func fold(s string) string {
	return strings.ToLower(strings.NewReplacer("-", "", "_", "", ".", "").Replace(s))
}

// edits is the number of insertions, deletions, replacements and swaps of neighbours that turn a into b.
func edits(a, b string) int {
	before, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
		}
		before, prev, cur = prev, cur, before
	}
	return prev[len(b)]
}
