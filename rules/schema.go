package rules

import (
	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/internal/lang"
)

// Schema is the JSON Schema (draft 2020-12) of a rules file whose actions are of the registered types: for editors, and for
// whoever makes rules files by program.
func Schema(reg *actions.Registry) map[string]any {
	return map[string]any{
		"$schema":     "https://json-schema.org/draft/2020-12/schema",
		"title":       "Rules of aftermath",
		"description": "What is done after a friend was deleted.",
		"type":        "object",
		"properties": map[string]any{
			"version": map[string]any{"const": 1, "description": "The version of the format."},
			"lists": map[string]any{
				"type":                 "object",
				"description":          "Named sets of texts, for the right side of in.",
				"propertyNames":        map[string]any{"pattern": "^[a-z][a-z0-9_]*$", "not": map[string]any{"enum": lang.Words()}},
				"additionalProperties": map[string]any{"$ref": "#/$defs/list"},
			},
			"actions": map[string]any{
				"type":                 "object",
				"description":          "Named actions, to be shared by rules.",
				"propertyNames":        map[string]any{"pattern": namePattern},
				"additionalProperties": map[string]any{"$ref": "#/$defs/action", "not": map[string]any{"required": []string{"name"}}},
			},
			"rules": map[string]any{
				"type":        "array",
				"description": "The rules, in the order they run in. To run none, write [].",
				"items":       map[string]any{"$ref": "#/$defs/rule"},
			},
		},
		"patternProperties":    map[string]any{"^x-": true},
		"additionalProperties": false,
		"$defs":                map[string]any{"list": listSchema(), "rule": ruleSchema(), "action": reg.Schema()},
	}
}

const namePattern = "^[a-z0-9_.-]+$"

func listSchema() map[string]any {
	return map[string]any{"oneOf": []any{
		map[string]any{
			"type":        "array",
			"description": "The values. They are taken as they are written: as texts, never as numbers.",
			"items":       map[string]any{"type": []any{"string", "number", "boolean", "null"}},
		},
		map[string]any{
			"type":                 "object",
			"properties":           map[string]any{"file": described("string", "A file with one value a line and # comments, relative to this one.")},
			"required":             []any{"file"},
			"additionalProperties": false,
		},
	}}
}

func ruleSchema() map[string]any {
	return map[string]any{
		"type":     "object",
		"required": []any{"name", "condition", "actions"},
		"properties": map[string]any{
			"name":        map[string]any{"type": "string", "pattern": namePattern, "description": "The rule's name, unique in all files."},
			"description": described("string", "What the rule is for."),
			"condition": map[string]any{
				"type":        []any{"string", "boolean"},
				"description": `An expression that says which pairs the rule matches, such as From_Account in vips && OptPlatform != "RESTAPI".`,
			},
			"actions": map[string]any{
				"type":        "array",
				"minItems":    1,
				"description": "What is done for a pair that matches: names under actions, or actions written here.",
				"items": map[string]any{"oneOf": []any{
					map[string]any{"type": "string", "pattern": namePattern},
					map[string]any{"$ref": "#/$defs/action"},
				}},
			},
			"stop":    boolean("Whether later rules don't see a pair that this one matched.", false),
			"enabled": boolean("false: the rule is checked, and otherwise as if it weren't there.", true),
			"shadow":  boolean("true: matches are counted and shown, but run no action and stop nothing.", false),
			"labels": map[string]any{
				"type":                 "object",
				"description":          "Names and values of your own, which actions may use as Rule.Labels.",
				"additionalProperties": map[string]any{"type": []any{"string", "number", "boolean"}},
			},
		},
		"additionalProperties": false,
	}
}

func described(typ, text string) map[string]any {
	return map[string]any{"type": typ, "description": text}
}

func boolean(text string, otherwise bool) map[string]any {
	return map[string]any{"type": "boolean", "description": text, "default": otherwise}
}
