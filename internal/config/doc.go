// Package config turns a YAML file into a checked configuration, or into the list of everything that is wrong with it.
//
// It promises that every mistake is reported at once, each with file, line, column, the path of the key, what is wrong
// and what to write instead; that no key is ignored in silence; and that a configuration it returns can be run: the
// sections are there, routes name exporters that exist, and no two parts listen on the same address. It does not open
// connections, read certificates or look names up: what depends on the machine and the network is found when the parts
// start.
//
//	bytes -> yaml nodes -> references to the environment -> aliases and merge keys
//	      -> one section at a time: keys and types against the Go type -> confmap -> Validate
//	      -> checks across sections -> Config, or Problems sorted by line
//
// The sections that take the OpenTelemetry Collector's YAML are decoded by the Collector's own confmap into its own
// types. Before that, the YAML is held against the Go type here, because confmap knows no lines, because some of the
// Collector's types skip the check for unknown keys, and because it would take `timeout: 10` for ten nanoseconds.
//
// References to the environment are those of the Collector: ${env:NAME}, ${env:NAME:-default}, ${NAME}, and $$ for a
// dollar sign. A value that is nothing but a reference gets the type that its text has in YAML (number, true, text) and
// stays text where text is wanted. A reference never adds keys, list items or lines: it stands for one value. The text of
// a variable is taken as it is; dollar signs in it mean nothing.
package config
