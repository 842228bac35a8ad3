package redistest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// errMalformed is what a framer returns for what is not RESP.
var errMalformed = errors.New("malformed RESP")

// A framer cuts a stream into RESP values, without changing a byte.
type framer struct {
	r   *bufio.Reader
	raw []byte
}

// value reads one value, of RESP2 or RESP3. On an error it returns what it read.
func (f *framer) value() ([]byte, error) {
	f.raw = nil
	err := f.read()
	return f.raw, err
}

// command reads one command: an array, or a line as typed into telnet.
func (f *framer) command() ([]byte, error) {
	f.raw = nil
	first, err := f.r.Peek(1)
	if err != nil {
		return nil, err
	}
	if first[0] == '*' {
		err = f.read()
	} else {
		_, err = f.line()
	}
	return f.raw, err
}

func (f *framer) line() ([]byte, error) {
	from := len(f.raw)
	for {
		b, err := f.r.ReadSlice('\n')
		f.raw = append(f.raw, b...)
		if err == nil {
			return f.raw[from:], nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
	}
}

func (f *framer) read() error {
	line, err := f.line()
	if err != nil {
		return err
	}
	kind := line[0]
	switch kind {
	case '+', '-', ':', '_', ',', '#', '(':
		return nil
	case '$', '!', '=', '*', '~', '>', '%', '|':
	default:
		return fmt.Errorf("%w: %.20q", errMalformed, line)
	}
	n, err := strconv.Atoi(strings.TrimRight(string(line[1:]), "\r\n"))
	if err != nil {
		return fmt.Errorf("%w: %.20q", errMalformed, line)
	}
	switch kind {
	case '$', '!', '=':
		if n < 0 {
			return nil
		}
		from := len(f.raw)
		f.raw = append(f.raw, make([]byte, n+2)...)
		got, err := io.ReadFull(f.r, f.raw[from:])
		f.raw = f.raw[:from+got]
		return err
	case '%':
		n *= 2
	case '|': // attributes come before the value that they are about
		n = 2*n + 1
	}
	for range n {
		if err := f.read(); err != nil {
			return err
		}
	}
	return nil
}

// commandArgs returns the name and arguments of a command that a framer read.
func commandArgs(raw []byte) []string {
	text := string(raw)
	if !strings.HasPrefix(text, "*") {
		return strings.Fields(text)
	}
	var args []string
	_, rest, _ := strings.Cut(text, "\r\n")
	for strings.HasPrefix(rest, "$") {
		size, body, _ := strings.Cut(rest[1:], "\r\n")
		n, err := strconv.Atoi(size)
		if err != nil || n < 0 || n+2 > len(body) {
			break
		}
		args = append(args, body[:n])
		rest = body[n+2:]
	}
	return args
}
