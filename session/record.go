package session

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/relay-platform/redis/conn"
)

// encode returns metadata as a JSON object. What encodes to null, such as a nil
// map, has no fields.
func encode(metadata any) (string, error) {
	b, err := json.Marshal(metadata)
	switch {
	case err != nil:
		return "", &conn.ArgumentError{Name: "metadata", Problem: fmt.Sprintf("cannot be encoded: %v", err)}
	case string(b) == "null":
		return "{}", nil
	case b[0] != '{':
		return "", &conn.ArgumentError{Name: "metadata", Problem: fmt.Sprintf("a %T is no JSON object: use a struct or a map", metadata)}
	}
	return string(b), nil
}

// decode reads what getScript returned: user, metadata, created, deadline and
// what is left, the times in milliseconds.
func decode[M any](fields []string) (Session[M], error) {
	if len(fields) != 5 {
		return Session[M]{}, fmt.Errorf("the record has %d fields, not 5", len(fields))
	}
	var times [3]int64
	for i := range times {
		n, err := strconv.ParseInt(fields[2+i], 10, 64)
		if err != nil {
			return Session[M]{}, fmt.Errorf("the record is not one of this package: %w", err)
		}
		times[i] = n
	}
	s := Session[M]{User: fields[0], Created: time.UnixMilli(times[0]), Deadline: time.UnixMilli(times[1]), ExpiresIn: time.Duration(times[2]) * time.Millisecond}
	if err := json.Unmarshal([]byte(fields[1]), &s.Metadata); err != nil {
		return Session[M]{}, fmt.Errorf("the metadata is no JSON of a %T: %w", s.Metadata, err)
	}
	return s, nil
}
