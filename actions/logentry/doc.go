// Package logentry is the action type log: a line for each delivery, in the program's own log or as JSON lines in a rotated file.
package logentry
