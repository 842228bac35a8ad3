package pubsub

import (
	"slices"
	"testing"
	"time"
)

// drain closes the queue and returns what was in it, gaps as "gap".
func drain(q *queue) (got []string) {
	q.close()
	for {
		it, ok := q.take()
		switch {
		case !ok:
			return got
		case it.gap:
			got = append(got, "gap")
		default:
			got = append(got, it.text)
		}
	}
}

// A full queue drops the oldest message; gaps stay in their places, take no room
// and do not pile up.
func TestQueueDropsOldest(t *testing.T) {
	t.Parallel()
	const gap = "gap"
	for _, tc := range []struct {
		name    string
		size    int
		put     []string
		want    []string
		dropped int
	}{
		{"fits", 2, []string{"a", "b"}, []string{"a", "b"}, 0},
		{"one too many", 2, []string{"a", "b", "c"}, []string{"b", "c"}, 1},
		{"size one", 1, []string{"a", "b", "c"}, []string{"c"}, 2},
		{"gap in its place", 2, []string{"a", gap, "b"}, []string{"a", gap, "b"}, 0},
		{"gap stays when what came before goes", 2, []string{"a", gap, "b", "c"}, []string{gap, "b", "c"}, 1},
		{"gap stays when what comes after goes", 2, []string{"a", gap, "b", "c", "d"}, []string{gap, "c", "d"}, 2},
		{"size one with a gap", 1, []string{gap, "a", "b"}, []string{gap, "b"}, 1},
		{"gaps in a row are one", 2, []string{gap, gap, "a", gap, gap}, []string{gap, "a", gap}, 0},
		{"gaps that meet are one", 1, []string{gap, "a", gap, "b"}, []string{gap, "b"}, 1},
		{"gaps that meet are one, with more behind", 2, []string{gap, "a", gap, "b", gap, "c"}, []string{gap, "b", gap, "c"}, 1},
	} {
		q := newQueue(tc.size)
		dropped := 0
		for _, text := range tc.put {
			if q.put(item{text: text, gap: text == gap}) {
				dropped++
			}
		}
		if n := q.len(); n > tc.size {
			t.Errorf("%s: %d messages wait, more than %d", tc.name, n, tc.size)
		}
		if got := drain(q); !slices.Equal(got, tc.want) || dropped != tc.dropped {
			t.Errorf("%s: got %v and %d dropped, not %v and %d", tc.name, got, dropped, tc.want, tc.dropped)
		}
		if n := q.len(); n != 0 {
			t.Errorf("%s: %d messages are left of an empty queue", tc.name, n)
		}
	}
}

// take waits for what comes; close wakes it, and lets nothing more in.
func TestQueueTakeWaits(t *testing.T) {
	t.Parallel()
	q := newQueue(8)
	got := make(chan string)
	go func() {
		defer close(got)
		for {
			it, ok := q.take()
			if !ok {
				return
			}
			got <- it.text
		}
	}()
	for _, text := range []string{"a", "b"} {
		q.put(item{text: text})
		if g := <-got; g != text {
			t.Errorf("took %q, not %q", g, text)
		}
	}
	q.close()
	if _, ok := <-got; ok {
		t.Error("took something from an empty, closed queue")
	}
	if !q.put(item{text: "c"}) || q.put(item{gap: true}) || q.len() != 0 {
		t.Error("a closed queue let something in, or did not count it as dropped")
	}
}

// Pauses grow to a second at most, and never vanish.
func TestPause(t *testing.T) {
	t.Parallel()
	for n, most := range map[int]time.Duration{1: 50 * time.Millisecond, 2: 100 * time.Millisecond, 6: time.Second, 1000: time.Second} {
		for range 100 {
			if d := pause(n); d < most/2 || d > most {
				t.Fatalf("attempt %d: a pause of %v, not %v to %v", n, d, most/2, most)
			}
		}
	}
}
