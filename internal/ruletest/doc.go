// Package ruletest runs rule tests: *_test.yaml files that say which rules match a callback, and what their actions make of it.
// Nothing is sent: actions are rendered as a dry run renders them, with secrets masked.
package ruletest
