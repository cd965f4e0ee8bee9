package config

import "strings"

// didYouMean is `; did you mean "x"?` for the candidate nearest to word, or nothing where none is near.
func didYouMean(word string, candidates []string) string {
	if best := nearest(word, candidates); best != "" {
		return "; did you mean " + quote(best) + "?"
	}
	return ""
}

// nearest is the candidate with the fewest slips of the finger from word; empty if even that one takes too many.
func nearest(word string, candidates []string) string {
	best, least := "", (len(word)+3)/4+1 // one slip in a short word, more in a longer one
	for _, c := range candidates {
		if d := slips(strings.ToLower(word), strings.ToLower(c)); d < least && d < len(c) {
			best, least = c, d
		}
	}
	return best
}

// slips counts the letters to add, drop, change or swap with a neighbour that turn a into b.
func slips(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64 // nothing so long is a slip of one of our words
	}
	before, last, now := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range now {
		now[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, now = last, now, before
		now[0] = i
		for j := 1; j <= len(b); j++ {
			change := last[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			now[j] = min(change, last[j]+1, now[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				now[j] = min(now[j], before[j-2]+1)
			}
		}
	}
	return now[len(b)]
}

// oneOf is the words as a choice: `a, b or c`.
func oneOf(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
