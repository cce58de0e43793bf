//go:build !race

package program

// Race tells that the tests run under the race detector: the program is built with it too then, and all is several times slower.
const Race = false
