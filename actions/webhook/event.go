package webhook

import (
	"bytes"
	"encoding/json"
	"fmt"
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
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), "application/json", nil
}
