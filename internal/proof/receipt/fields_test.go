package receipt_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"

	"postern/internal/proof/receipt"
)

// places are the paths to every value of a JSON document, the whole among them.
func places(v any, at []any) [][]any {
	all := [][]any{slices.Clone(at)}
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			all = append(all, places(member, append(slices.Clone(at), name))...)
		}
	case []any:
		for i, element := range v {
			all = append(all, places(element, append(slices.Clone(at), i))...)
		}
	}
	return all
}

// at gives the document with another value in one place; leave takes the place out.
func at(v any, path []any, value any) any {
	if len(path) == 0 {
		return value
	}
	switch v := v.(type) {
	case map[string]any:
		changed := map[string]any{}
		for name, member := range v {
			changed[name] = member
		}
		changed[path[0].(string)] = at(v[path[0].(string)], path[1:], value)
		if len(path) == 1 && value == leave {
			delete(changed, path[0].(string))
		}
		return changed
	case []any:
		i := path[0].(int)
		changed := slices.Clone(v)
		if len(path) == 1 && value == leave {
			return slices.Delete(changed, i, i+1)
		}
		if len(path) == 1 && value == twice {
			return slices.Insert(changed, i, v[i])
		}
		changed[i] = at(v[i], path[1:], value)
		return changed
	}
	panic("no such place")
}

// What is done to a place beside giving it another value.
var leave, twice any = new(int), new(string)

// others are values that are not v.
func others(v any) []any {
	all := []any{nil, leave, "", "x", 0.0, 7.0, true, []any{}, map[string]any{}, []any{v}}
	switch v := v.(type) {
	case string:
		all = append(all, v+" ", "0"+v)
		if len(v) > 1 {
			all = append(all, v[1:], v[:len(v)-1], string(v[len(v)-1])+v[:len(v)-1])
		}
	case float64:
		all = append(all, v+1, -v, v+0.5, fmt.Sprint(v))
	}
	return all
}

func valueAt(v any, path []any) any {
	for _, step := range path {
		if i, ok := step.(int); ok {
			v = v.([]any)[i]
		} else {
			v = v.(map[string]any)[step.(string)]
		}
	}
	return v
}

// A receipt is refused if any value is changed, missing or repeated, unless its bytes mean the
// same. Of the older formats, whose code no longer changes, every fifth change is tried.
func TestEveryFieldCounts(t *testing.T) {
	t.Parallel()
	for format, step := range map[string]int{"format-1": 5, "format-2": 5, "format-3": 1} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			everyFieldCounts(t, format, step)
		})
	}
}

func everyFieldCounts(t *testing.T, format string, step int) {
	t.Helper()
	file, keys := golden(t, format)
	var document any
	if err := json.Unmarshal(file, &document); err != nil {
		t.Fatal(err)
	}
	tried := 0
	try := func(path []any, forged any) {
		tried++
		if tried%step != 0 {
			return
		}
		data, err := json.Marshal(forged)
		if err != nil {
			t.Fatal(err)
		}
		r, _, err := receipt.Verify(data, keys)
		if err == nil {
			if again, err := r.Encode(); err != nil || string(again) != string(file) {
				t.Errorf("%v: it holds with %.80s (%v)", path, data, err)
			}
		} else if !errors.Is(err, receipt.ErrWrong) {
			t.Errorf("%v: the error is no fault of the receipt: %v", path, err)
		}
	}
	for _, path := range places(document, nil) {
		for _, value := range others(valueAt(document, path)) {
			if len(path) > 0 || value != leave {
				try(path, at(document, path, value))
			}
		}
		if len(path) > 0 {
			if _, element := path[len(path)-1].(int); element {
				try(path, at(document, path, twice))
			}
		}
		if _, object := valueAt(document, path).(map[string]any); object {
			try(path, at(document, append(slices.Clone(path), "more"), "x"))
		}
	}
	if tried < 1000 {
		t.Errorf("only %d changes were tried", tried)
	}

	// And each byte of the file, with a wrong bit.
	changed := slices.Clone(file)
	for i := 0; i < len(file); i += step {
		changed[i] ^= 1 << (i % 8)
		if r, _, err := receipt.Verify(changed, keys); err == nil {
			if again, err := r.Encode(); err != nil || string(again) != string(file) {
				t.Errorf("byte %d: it holds, and says something else: %v", i, err)
			}
		}
		changed[i] = file[i]
	}
}
