package pairindex

// The most texts and numbers that an event can have.
const (
	MaxTexts   = 32
	MaxNumbers = 32
)

// Event is what rules look at: texts and numbers, each known by its place.
type Event struct {
	Texts   Texts
	Numbers [MaxNumbers]int64
}

// Texts are those of an event.
type Texts [MaxTexts]string

// number gives a number by its place; those from MaxNumbers on are the lengths of the texts in bytes.
func (ev *Event) number(field uint8) int64 {
	if field < MaxNumbers {
		return ev.Numbers[field]
	}
	return int64(len(ev.Texts[field-MaxNumbers]))
}

// Set is an immutable set of texts. Values with the same dynamic value are the same set.
type Set interface {
	Has(string) bool
	Len() int
	All(yield func(string) bool)
}

// Matcher is a test on a text that may fail. It fails on texts longer than a limit, and on no others.
type Matcher interface {
	Match(text string) bool
}
