// Package secrets resolves ${env:NAME} and ${file:PATH}, knows which files were read so that they can be watched, and masks every
// value that it gave out.
package secrets
