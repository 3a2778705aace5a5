package config

import (
	"reflect"
	"slices"
)

// setFlag is a flag that overrides a setting. It has a value, or is given alone for a setting that is
// true or false.
type setFlag struct{ setting, value string }

// Set implements [flag.Value].
func (f *setFlag) Set(value string) error {
	f.value = value
	return nil
}

// String implements [flag.Value].
func (f *setFlag) String() string { return f.value }

// IsBoolFlag reports whether the flag can be given without a value.
func (f *setFlag) IsBoolFlag() bool { return IsSwitch(f.setting) }

// IsSwitch reports whether a setting is true or false.
func IsSwitch(setting string) bool {
	return slices.ContainsFunc(reflect.VisibleFields(reflect.TypeFor[Config]()), func(f reflect.StructField) bool {
		return f.Tag.Get("env") == setting && f.Type.Kind() == reflect.Bool
	})
}
