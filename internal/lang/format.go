package lang

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"
)

// Format writes a value of Eval as text: strings as they are, numbers and bools as in JSON, times as RFC 3339, a map as JSON
// with its keys sorted.
func Format(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case int:
		return strconv.Itoa(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return formatFloat(v)
	case time.Time:
		return v.Format(time.RFC3339Nano)
	}
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return string(text)
}

// formatFloat writes a float as encoding/json does; what JSON lacks, NaN and the infinities, by its name.
func formatFloat(f float64) string {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return strconv.FormatFloat(f, 'g', -1, 64)
	}
	text, err := json.Marshal(f)
	if err != nil {
		return strconv.FormatFloat(f, 'g', -1, 64)
	}
	return string(text)
}
