package cache

import (
	"encoding/json"
	"fmt"
	"reflect"
)

// codec turns values into what is stored, and back.
type codec[V any] struct {
	encode func(V) (string, error)
	decode func(string) (V, error)
}

// codecOf chooses once per Cache, so that a call does not look at its type.
func codecOf[V any]() codec[V] {
	var zero V
	switch any(zero).(type) {
	case string:
		return codec[V]{
			encode: func(v V) (string, error) { s, _ := any(v).(string); return s, nil },
			decode: func(s string) (v V, _ error) { *any(&v).(*string) = s; return v, nil }, //nolint:errcheck // V is string
		}
	case []byte:
		return codec[V]{
			encode: func(v V) (string, error) { b, _ := any(v).([]byte); return string(b), nil },
			decode: func(s string) (v V, _ error) { *any(&v).(*[]byte) = []byte(s); return v, nil }, //nolint:errcheck // V is []byte
		}
	}
	return codec[V]{
		encode: func(v V) (string, error) {
			b, err := json.Marshal(v)
			return string(b), err
		},
		decode: func(s string) (V, error) {
			var v V
			if err := json.Unmarshal([]byte(s), &v); err != nil {
				var none V // Unmarshal may have filled a part of v
				return none, fmt.Errorf("the stored value is no JSON of a %v: %w", reflect.TypeFor[V](), err)
			}
			return v, nil
		},
	}
}
