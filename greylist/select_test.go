package greylist

import "testing"

func TestMatches(t *testing.T) {
	r := Record{Key: Key{0xab, 0xcd, 0xef, 0x12}, Label: Label{"192.0.2.0/24", "news-#@shop.example", "amy@example.com"}}
	for word, want := range map[string]bool{
		"abcdef": true, "ABCDEF12": true, "abcde": false, "abcdff": false, "192.0.2.77": true, "192.0.3.77": false, "::ffff:192.0.2.1": true, "192.0.2.0/24": true,
		"192.0.2.0/25": false, "shop.example": true, "Shop.Example": true, "op.example": false, "news-#@shop.example": true, "news-1234@shop.example": true,
		"other@shop.example": false, "amy@example.com": true, "Amy@example.com": true, "example.com": true, "com": false, "": false, "@": false, "news": false,
	} {
		if got := r.Matches(word); got != want {
			t.Errorf("%q: %v, want %v", word, got, want)
		}
	}
	proved := Record{Label: Label{Client: "shop.example"}}
	if !proved.Matches("shop.example") || proved.Matches("192.0.2.1") || proved.Matches("") {
		t.Error("a client that SPF proved")
	}
}
