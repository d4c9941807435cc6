package wire

import (
	"fmt"
	"strings"
	"testing"
)

func TestKeySet(t *testing.T) {
	var none *KeySet
	for _, s := range []*KeySet{none, NewKeySet(nil), NewKeySet([]string{})} {
		if s.Len() != 0 || s.Index(nil) != -1 || s.Index([]byte("a")) != -1 {
			t.Errorf("the empty set has something in it")
		}
	}
	s := NewKeySet([]string{"b", "a", "b", "", "a"})
	for i, want := range []string{"b", "a", ""} {
		if s.Len() != 3 || s.Key(i) != want || s.Index([]byte(want)) != i {
			t.Errorf("key %d: got %q, %d, want %q of 3", i, s.Key(i), s.Index([]byte(want)), want)
		}
	}
}

// Keys of all lengths, many with equal ends, and near misses of each.
func TestKeySetFindsEachKeyAndNoOther(t *testing.T) {
	var keys []string
	for n := range 150 {
		keys = append(keys, strings.Repeat("k", n))
		for i := range 5 {
			keys = append(keys, fmt.Sprintf("%d%s.same.ending", i, strings.Repeat("x", n)))
		}
	}
	s := NewKeySet(keys)
	if s.Len() != len(keys) {
		t.Fatalf("Len is %d, want %d", s.Len(), len(keys))
	}
	for i, k := range keys {
		if got := s.Index([]byte(k)); got != i {
			t.Errorf("Index(%q) is %d, want %d", k, got, i)
		}
		if k == "" {
			continue
		}
		miss := []byte(k)
		miss[0] = 'y'
		if got := s.Index(miss); got != -1 {
			t.Errorf("Index(%q) is %d, want none", miss, got)
		}
	}
}
