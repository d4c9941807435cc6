package policies

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// duration returns a field that holds a duration such as 90s or 1h30m, in milliseconds, and its node: nil if the field is absent
// or wrong.
func (m *mapping) duration(key string) (int64, *yaml.Node) {
	n := m.scalar(key, "a duration such as 30s, 10m or 1h30m", "!!str")
	if n == nil {
		return 0, nil
	}
	ms, ok := parseDuration(n.Value)
	if !ok {
		m.p.errorf(n, m.sub(key), "%s is not a duration in whole milliseconds; write such as 500ms, 30s, 10m or 1h30m", quote(n.Value))
		return 0, nil
	}
	return ms, n
}

// parseDuration reads what time.ParseDuration reads, in whole milliseconds and without sign or fraction.
func parseDuration(text string) (ms int64, ok bool) {
	const longest = 1 << 40 // 34 years
	for text != "" {
		digits := len(text) - len(strings.TrimLeft(text, "0123456789"))
		v, err := strconv.ParseInt(text[:digits], 10, 40)
		if err != nil {
			return 0, false
		}
		text = text[digits:]
		letters := len(text) - len(strings.TrimLeft(text, "hms"))
		unit := map[string]int64{"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}[text[:letters]]
		if unit == 0 || v > longest/unit {
			return 0, false
		}
		text = text[letters:]
		ms, ok = ms+v*unit, true
	}
	return ms, ok && ms <= longest
}

// instant returns a field that holds a point in time as in RFC 3339, in Unix milliseconds, and its node: nil if the field is absent
// or wrong.
func (m *mapping) instant(key string) (int64, *yaml.Node) {
	n := m.scalar(key, "a time such as 2026-03-29T14:00:00Z", "!!timestamp", "!!str")
	if n == nil {
		return 0, nil
	}
	ms, ok := parseInstant(n.Value)
	if !ok {
		m.p.errorf(n, m.sub(key), "%s is not a time as RFC 3339 writes it; write such as 2026-03-29T14:00:00Z or 2026-03-29T16:00:00+02:00",
			quote(n.Value))
		return 0, nil
	}
	return ms, n
}

// parseInstant reads RFC 3339: date, T, time, perhaps a fraction, and Z or the distance from UTC.
func parseInstant(text string) (ms int64, ok bool) {
	const shape = "0000-00-00T00:00:00"
	if len(text) <= len(shape) {
		return 0, false
	}
	var v [6]int64 // year, month, day, hour, minute, second
	field := 0
	for i := range len(shape) {
		switch {
		case shape[i] != '0' && text[i] != shape[i]:
			return 0, false
		case shape[i] != '0':
			field++
		case text[i] < '0' || text[i] > '9':
			return 0, false
		default:
			v[field] = v[field]*10 + int64(text[i]-'0')
		}
	}
	rest := text[len(shape):]
	fraction := int64(0)
	if strings.HasPrefix(rest, ".") {
		digits := len(rest) - 1 - len(strings.TrimLeft(rest[1:], "0123456789"))
		if digits == 0 {
			return 0, false
		}
		fraction, _ = strconv.ParseInt((rest[1:1+digits] + "00")[:3], 10, 64)
		rest = rest[1+digits:]
	}
	east, ok := parseZone(rest)
	if !ok || v[1] < 1 || v[1] > 12 || v[2] < 1 || v[2] > daysIn(v[0], v[1]) || v[3] > 23 || v[4] > 59 || v[5] > 59 {
		return 0, false
	}
	seconds := daysBefore(v[0], v[1], v[2])*86400 + v[3]*3600 + v[4]*60 + v[5] - east*60
	return seconds*1000 + fraction, true
}

// parseZone reads Z, or +hh:mm; the answer is in minutes.
func parseZone(text string) (east int64, ok bool) {
	if text == "Z" {
		return 0, true
	}
	if len(text) != 6 || text[0] != '+' && text[0] != '-' || text[3] != ':' {
		return 0, false
	}
	hours, err1 := strconv.ParseUint(text[1:3], 10, 8)
	minutes, err2 := strconv.ParseUint(text[4:], 10, 8)
	if err1 != nil || err2 != nil || hours > 23 || minutes > 59 {
		return 0, false
	}
	east = int64(hours*60 + minutes)
	if text[0] == '-' {
		east = -east
	}
	return east, true
}

func daysIn(year, month int64) int64 {
	switch {
	case month == 2 && (year%4 == 0 && year%100 != 0 || year%400 == 0):
		return 29
	case month == 2:
		return 28
	case month == 4 || month == 6 || month == 9 || month == 11:
		return 30
	}
	return 31
}

// daysBefore returns the days from 1970-01-01 to a date of the Gregorian calendar. Years begin in March here, so that the day
// of a leap year comes last (Howard Hinnant, chrono-compatible low-level date algorithms).
func daysBefore(year, month, day int64) int64 {
	if month < 3 {
		year, month = year-1, month+12
	}
	era := (year + 400) / 400 // years from 0 on
	year += 400 - era*400
	return era*146097 - 146097 + year*365 + year/4 - year/100 + (153*(month-3)+2)/5 + day - 1 - 719468
}

// inWords writes milliseconds as a duration.
func inWords(ms int64) string {
	var b strings.Builder
	for _, u := range []struct {
		name string
		ms   int64
	}{{"h", 3_600_000}, {"m", 60_000}, {"s", 1000}, {"ms", 1}} {
		if v := ms / u.ms; v > 0 {
			fmt.Fprintf(&b, "%d%s", v, u.name)
			ms -= v * u.ms
		}
	}
	if b.Len() == 0 {
		return "0s"
	}
	return b.String()
}

// inUTC writes Unix milliseconds as a point in time.
func inUTC(ms int64) string {
	days, rest := ms/86_400_000, ms%86_400_000
	if rest < 0 {
		days, rest = days-1, rest+86_400_000
	}
	year := 1970 + days/366
	for days >= daysBefore(year+1, 1, 1) {
		year++
	}
	for days < daysBefore(year, 1, 1) {
		year--
	}
	month := int64(1)
	for month < 12 && days >= daysBefore(year, month+1, 1) {
		month++
	}
	text := fmt.Sprintf("%04d-%02d-%02dT%02d:%02d:%02d", year, month, days-daysBefore(year, month, 1)+1,
		rest/3_600_000, rest/60_000%60, rest/1000%60)
	if rest%1000 != 0 {
		text += fmt.Sprintf(".%03d", rest%1000)
	}
	return text + "Z"
}
