package message

import "testing"

func TestEditedTakesOutAndAddsAtTheEnd(t *testing.T) {
	const text = "A: 1\r\nX-Spam: yes\r\n\tfolded\r\nB: 2\r\n\r\nX-Spam: body\r\n"
	h, err := Scan([]byte(text), DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	got := string(h.Edited([]string{"x-spam"}, []string{"List-Id: <l.example>"})) + text[h.End:]
	if want := "A: 1\r\nB: 2\r\nList-Id: <l.example>\r\n\r\nX-Spam: body\r\n"; got != want {
		t.Errorf("%q\nwant %q", got, want)
	}
	if got := string(h.Edited(nil, nil)) + text[h.End:]; got != text {
		t.Errorf("an empty edit changed %q", got)
	}
}

func TestEditedEndsTheLastLineBeforeItAdds(t *testing.T) {
	h, err := Scan([]byte("A: 1"), DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	if got := string(h.Edited(nil, []string{"B: 2"})); got != "A: 1\r\nB: 2\r\n" {
		t.Errorf("%q", got)
	}
}
