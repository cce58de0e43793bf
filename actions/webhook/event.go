package webhook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aftermath-rules/aftermath/actions"
)

// event is the body of a webhook whose configuration has none.
type event struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"` // when the callback arrived: the same on every attempt
	Data      eventData `json:"data"`
}

type eventData struct {
	DeliveryID  string            `json:"delivery_id"`
	Rule        string            `json:"rule"`
	Labels      map[string]string `json:"labels"`
	FromAccount string            `json:"From_Account"`
	ToAccount   string            `json:"To_Account"`
	SdkAppid    int64             `json:"SdkAppid"`
	ClientIP    string            `json:"ClientIP"`
	OptPlatform string            `json:"OptPlatform"`
	RequestID   string            `json:"RequestId"`
	CallbackID  string            `json:"callback_id"`
	RuleSet     string            `json:"rule_set"`
	Reprocess   string            `json:"reprocess,omitempty"`
}

func newEvent(d *actions.Delivery) event {
	labels := d.Rule.Labels
	if labels == nil {
		labels = map[string]string{} // receivers read an object, never null
	}
	return event{
		Type:      "friend.deleted",
		Timestamp: d.Time.UTC(),
		Data: eventData{
			DeliveryID:  d.ID,
			Rule:        d.Rule.Name,
			Labels:      labels,
			FromAccount: d.Pair.From,
			ToAccount:   d.Pair.To,
			SdkAppid:    d.SdkAppid,
			ClientIP:    d.ClientIP,
			OptPlatform: d.OptPlatform,
			RequestID:   d.RequestId,
			CallbackID:  d.CallbackID,
			RuleSet:     d.RuleSet,
			Reprocess:   d.Reprocess,
		},
	}
}

const mediaJSON = "application/json"

// encode gives a body and its content type: text as it is, all else as JSON.
func encode(v any) (body []byte, contentType string, err error) {
	if s, ok := v.(string); ok {
		return []byte(s), "text/plain; charset=utf-8", nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, "", actions.Permanent(fmt.Errorf("body: %w", err))
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), mediaJSON, nil
}

// appendEvent appends the JSON of newEvent(d), byte for byte as encode gives it, at a tenth of its price.
func appendEvent(b []byte, d *actions.Delivery) ([]byte, error) {
	if y := d.Time.UTC().Year(); y < 0 || y > 9999 {
		return nil, actions.Permanent(fmt.Errorf("body: a time in the year %d", y))
	}
	b = slices.Grow(b, 512)
	b = append(b, `{"type":"friend.deleted","timestamp":"`...)
	b = d.Time.UTC().AppendFormat(b, time.RFC3339Nano)
	b = appendField(b, `","data":{"delivery_id":`, d.ID)
	b = appendField(b, `,"rule":`, d.Rule.Name)
	b = append(b, `,"labels":{`...)
	before := ""
	for _, name := range sortedKeys(d.Rule.Labels) {
		b = appendField(b, before, name)
		b = appendField(b, ":", d.Rule.Labels[name])
		before = ","
	}
	b = appendField(b, `},"From_Account":`, d.Pair.From)
	b = appendField(b, `,"To_Account":`, d.Pair.To)
	b = append(b, `,"SdkAppid":`...)
	b = strconv.AppendInt(b, d.SdkAppid, 10)
	b = appendField(b, `,"ClientIP":`, d.ClientIP)
	b = appendField(b, `,"OptPlatform":`, d.OptPlatform)
	b = appendField(b, `,"RequestId":`, d.RequestId)
	b = appendField(b, `,"callback_id":`, d.CallbackID)
	b = appendField(b, `,"rule_set":`, d.RuleSet)
	if d.Reprocess != "" {
		b = appendField(b, `,"reprocess":`, d.Reprocess)
	}
	return append(b, "}}"...), nil
}

// appendField appends what stands before a string, and the string.
func appendField(b []byte, before, s string) []byte {
	b = append(b, before...)
	if isPlain(s) {
		b = append(b, '"')
		b = append(b, s...)
		return append(b, '"')
	}
	quoted := bytes.NewBuffer(b)
	enc := json.NewEncoder(quoted)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string has always a JSON
	return bytes.TrimSuffix(quoted.Bytes(), []byte("\n"))
}

// isPlain tells whether s stands in JSON as it is. What encoding/json escapes beyond ASCII is left to it.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
