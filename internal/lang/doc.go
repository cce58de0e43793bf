// Package lang is the one language of conditions and templates: expr-lang, cut down by an allow-list to a part that can
// exhaust neither memory nor time and gives the same result for the same packet.
package lang
