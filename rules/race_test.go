//go:build race

package rules

// The race detector empties pools at random.
const raceDetector = true
