package pubsub

import "sync"

// item is a message that waits for the handler, or a gap between messages.
type item struct {
	text string
	gap  bool
}

// queue holds what was received and not handled yet. Putting something in never
// waits, as the connection's reader does it: the oldest message makes room. A gap
// is never dropped, and takes no room: there is at most one between two messages.
type queue struct {
	mu       sync.Mutex
	items    []item
	messages int // of the items
	size     int // the most messages
	closed   bool
	wake     chan struct{} // buffered: there is something to see
}

func newQueue(size int) *queue { return &queue{size: size, wake: make(chan struct{}, 1)} }

// put adds an item and reports whether that dropped a message: the oldest, or
// this one after close.
func (q *queue) put(it item) (dropped bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return !it.gap
	}
	if it.gap {
		if n := len(q.items); n > 0 && q.items[n-1].gap {
			return false
		}
	} else if q.messages == q.size {
		dropped = true
		q.dropOldest()
	} else {
		q.messages++
	}
	q.items = append(q.items, it)
	q.signal()
	return dropped
}

// dropOldest drops the first message, which is the first or second item. Two gaps
// that then stand together become one.
func (q *queue) dropOldest() {
	if !q.items[0].gap {
		q.items = q.items[1:]
		return
	}
	if len(q.items) > 2 && q.items[2].gap {
		q.items = q.items[2:]
		return
	}
	q.items[1] = q.items[0]
	q.items = q.items[1:]
}

// take returns the next item, waiting for one; false after close when nothing is
// left. One goroutine takes.
func (q *queue) take() (item, bool) {
	for {
		q.mu.Lock()
		if len(q.items) > 0 {
			it := q.items[0]
			q.items[0] = item{} // let go of the text
			q.items = q.items[1:]
			if !it.gap {
				q.messages--
			}
			q.mu.Unlock()
			return it, true
		}
		closed := q.closed
		q.mu.Unlock()
		if closed {
			return item{}, false
		}
		<-q.wake
	}
}

// close lets nothing more in; what is there can still be taken.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.signal()
}

// discard drops what is there and returns how many messages it was.
func (q *queue) discard() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := q.messages
	q.items, q.messages = nil, 0
	return n
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.messages
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}
