package ottl

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"thresher/internal/suggest"
)

// A reader turns errors of the library into ones about the policy. It holds regular expressions, which a policy set with a
// hundred expressions should not compile a hundred times.
type reader struct {
	position, near, path, function, editor *regexp.Regexp
}

func newReader() *reader {
	return &reader{
		position: regexp.MustCompile(`^\d+:\d+: `),
		near:     regexp.MustCompile("(?s)^condition (?:failed to parse|has invalid syntax)(?: near `(.*?)`)?:\\s*(.*)$"),
		path:     regexp.MustCompile(`^segment "([^"]*)" from path "([^"]*)" is not a valid path`),
		function: regexp.MustCompile(`^undefined function "([^"]*)"$`),
		editor:   regexp.MustCompile(`^\s*[a-z_]+\s*\(`),
	}
}

// mistake says what is wrong with an expression. names are the functions that it could use.
func (r *reader) mistake(text, context string, err error, names []string) string {
	msg := err.Error()
	if rest, ok := strings.CutPrefix(msg, "unable to parse OTTL condition "); ok {
		if quoted, err := strconv.QuotedPrefix(rest); err == nil {
			msg = strings.TrimPrefix(rest[len(quoted):], ": ")
		}
	}
	msg = r.position.ReplaceAllString(msg, "")
	at := ""
	if m := r.near.FindStringSubmatch(msg); m != nil {
		at, msg = m[1], m[2]
	}
	if !strings.Contains(text, at) {
		at = "" // it shows the prefix that a bare path has been given
	}
	return shown(text) + ": " + r.cause(text, at, context, msg, names)
}

const noRoot = "parent_span_id == SpanID(0x0000000000000000)"

// noFunction says what to write in place of a function that does not exist.
func noFunction(name, context string, names []string) string {
	if context == "spanevent" && (name == "IsRootSpan" || name == "IsRoot") {
		return name + " is not for events, only for spans; move the expression to span, or write span." + noRoot
	}
	hint := suggest.DidYouMean(name, names)
	// A name that goes on is nearer than one with other letters: IsRoot is IsRootSpan, not IsBool.
	if i := slices.IndexFunc(names, func(n string) bool {
		return len(name) > 3 && strings.HasPrefix(strings.ToLower(n), strings.ToLower(name))
	}); i >= 0 {
		hint = fmt.Sprintf("; did you mean %q?", names[i])
	}
	return "there is no function " + name + hint
}

// insteadOf are the paths that people look for, and what there is.
func insteadOf(segment string) string {
	switch segment {
	case "duration", "latency", "elapsed", "duration_ms", "duration_nano":
		return "end_time_unix_nano - start_time_unix_nano is it in nanoseconds, so more than 5 ms is end_time_unix_nano - start_time_unix_nano > 5000000; " +
			"for the duration of the whole trace write a policy of type latency"
	case "is_root", "root":
		return "write IsRootSpan()"
	case "error", "is_error":
		return "write status.code == STATUS_CODE_ERROR"
	case "service", "service_name":
		return `write resource.attributes["service.name"]`
	}
	return ""
}

const editors = "functions that begin with a small letter change the span, which a condition cannot; " +
	"those that give a value begin with a capital"

func (r *reader) cause(text, at, context, msg string, names []string) string {
	if m := r.path.FindStringSubmatch(msg); m != nil {
		return wrongPath(m[1], m[2], context)
	}
	if m := r.function.FindStringSubmatch(msg); m != nil {
		return noFunction(m[1], context, names)
	}
	if own, ok := strings.CutPrefix(msg, "couldn't create function: "); ok {
		return own
	}
	expected, syntax := strings.CutPrefix(msg, "(expected ")
	if called := strings.TrimSpace(text); syntax && slices.Contains(names, called) {
		return fmt.Sprintf("a function is called with brackets: %s()", called)
	}
	switch {
	case strings.HasPrefix(msg, "the path section ") && strings.Contains(text, "attributes."):
		return `an attribute is written attributes["http.route"], with its whole key in the brackets`
	case strings.TrimSpace(text) == "":
		return `is empty; write for instance name == "GET /"`
	case strings.HasPrefix(msg, "converter names must start"), syntax && r.editor.MatchString(text):
		return editors
	case strings.HasPrefix(at, "'"):
		return "texts are written in double quotes"
	case syntax && strings.HasPrefix(at, "= "):
		return "equality is written =="
	case syntax:
		msg = "expected " + strings.NewReplacer(
			`<opcomparison> Value`, "a comparison (== != < <= > >=) and a value", `Field ("." Field)*`, "a path or a value",
		).Replace(strings.TrimSuffix(expected, ")"))
		if at == "" {
			return msg + " at the end"
		}
	}
	if at == "" {
		return msg
	}
	return "near " + shown(at) + ": " + cmp.Or(msg, "this cannot stand here")
}

func pathNames(context string) []string {
	if context == "spanevent" {
		return []string{"name", "time", "time_unix_nano", "attributes", "dropped_attributes_count", "event_index"}
	}
	return []string{
		"trace_id", "span_id", "trace_state", "parent_span_id", "name", "kind", "start_time", "end_time", "start_time_unix_nano",
		"end_time_unix_nano", "attributes", "dropped_attributes_count", "events", "dropped_events_count", "links",
		"dropped_links_count", "status", "flags",
	}
}

// wrongPath says what is wrong with a path, of which segment is the part that does not exist.
func wrongPath(segment, path, context string) string {
	owner, _, _ := strings.Cut(path, ".")
	if owner == context {
		switch segment {
		case "otelcol":
			return "otelcol tells about the request that brought spans to a Collector, which the log does not keep; " +
				"ask for an attribute of the span or resource"
		case "spanevent":
			return "an expression about spans cannot look at single events; move it to spanevent"
		}
		if strings.HasPrefix(path, owner+"."+segment+".") && !slices.Contains(pathNames(context), segment) {
			known := []string{"span", "spanevent", "resource", "scope", "instrumentation_scope"}
			hint := suggest.DidYouMean(segment, known)
			if key := strings.TrimPrefix(path, owner+"."); hint == "" && !strings.Contains(key, "[") {
				hint = fmt.Sprintf("; an attribute is attributes[%q], of the resource resource.attributes[%[1]q]", key)
			} else if hint == "" {
				hint = "; known are " + strings.Join(known, ", ")
			}
			return fmt.Sprintf("a path cannot begin with %s%s", segment, hint)
		}
	}
	name := owner
	if owner == "spanevent" {
		name = "span event"
	}
	hint := ""
	if instead := insteadOf(segment); owner == "span" && instead != "" {
		hint = "; " + instead
	} else if owner == "span" || owner == "spanevent" {
		hint = suggest.DidYouMean(segment, pathNames(owner))
	}
	if hint == "" {
		hint = `; an attribute is attributes["` + segment + `"], of the resource resource.attributes["` + segment + `"]`
	}
	return fmt.Sprintf("a %s has no %s%s", name, segment, hint)
}

// maxShown is how much of an expression an error repeats.
const maxShown = 80

func shown(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > maxShown {
		text = string(runes[:maxShown]) + "…"
	}
	return "`" + text + "`"
}

// An evaluationError is an expression that has no answer for a span. Its text is made only if somebody wants to read it, which
// nobody does for most.
type evaluationError struct {
	context string
	text    string
	err     error
}

func (e *evaluationError) Error() string {
	return fmt.Sprintf("the %s expression %s has no answer: %s", e.context, shown(e.text), plain(e.err.Error()))
}

func (e *evaluationError) Unwrap() error { return e.err }

// maxCause is how much of the library's reason an error repeats: it quotes whole attributes.
const maxCause = 300

// plain drops the names of Go types that OTTL puts before what is wrong with a value, and shortens the rest.
func plain(msg string) string {
	const noise = "error getting value in "
	for {
		before, rest, found := strings.Cut(msg, noise)
		if !found {
			break
		}
		_, after, found := strings.Cut(rest, "]: ")
		if !found {
			break
		}
		msg = before + after
	}
	if len(msg) > maxCause {
		msg = strings.ToValidUTF8(msg[:maxCause], "") + "…"
	}
	return msg
}
