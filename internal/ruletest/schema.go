package ruletest

import "github.com/aftermath-rules/aftermath/callback"

// Schema is the JSON Schema (draft 2020-12) of a file of rule tests, for editors.
func Schema() map[string]any {
	return map[string]any{
		"$schema":     "https://json-schema.org/draft/2020-12/schema",
		"title":       "Rule tests of aftermath",
		"description": "Which rules match a callback, and what their actions make of it. aftermath test runs them.",
		"type":        "object",
		"properties": map[string]any{
			"version": map[string]any{"const": 1, "description": "The version of the format."},
			"tests":   array("The tests.", testSchema()),
		},
		"patternProperties":    map[string]any{"^x-": true},
		"additionalProperties": false,
	}
}

func testSchema() map[string]any {
	return object([]any{"name", "callback", "matches"}, map[string]any{
		"name":     scalar("What the test says, for --run and for its failure."),
		"callback": callbackSchema(),
		"lists": map[string]any{
			"type":                 "object",
			"description":          "Values that replace those of lists, by name.",
			"additionalProperties": array("The values, taken as they are written.", scalar("A value.")),
		},
		"matches": array("Exactly the rules that match, pair by pair, then in rule order, shadow rules too; [] for none.", matchSchema()),
	})
}

func callbackSchema() map[string]any {
	return object([]any{"PairList"}, map[string]any{
		"SdkAppid":        map[string]any{"type": "integer", "default": defaultSdkAppid, "description": "The app's number."},
		"CallbackCommand": map[string]any{"const": callback.Command, "description": "The command: rules see no other."},
		"ClientIP":        scalar("The client's address; absent by default."),
		"OptPlatform":     scalar("The platform, such as iOS; absent by default."),
		"RequestId":       scalar("The request's id; absent by default."),
		"Time":            map[string]any{"type": "string", "default": defaultTime, "description": "When the callback arrives, such as 2026-11-22T08:00:00Z."},
		"PairList": array("The deletions.", object([]any{"From_Account", "To_Account"}, map[string]any{
			"From_Account": scalar("The one whose friend list lost an entry."),
			"To_Account":   scalar("The entry that it lost."),
		})),
	})
}

func matchSchema() map[string]any {
	return object([]any{"rule"}, map[string]any{
		"rule":    scalar("The name of a rule that matches."),
		"pair":    map[string]any{"type": "integer", "minimum": 0, "description": "The pair that it matches, from 0; needed where there is more than one."},
		"actions": array("The rule's actions, in order; an inline one by its type or name.", scalar("An action.")),
		"render": map[string]any{
			"type":        "object",
			"description": "What fields of the actions come out as: ACTION.FIELD, such as log.message.",
		},
	})
}

func object(required []any, properties map[string]any) map[string]any {
	return map[string]any{"type": "object", "required": required, "properties": properties, "additionalProperties": false}
}

func array(text string, items map[string]any) map[string]any {
	return map[string]any{"type": "array", "description": text, "items": items}
}

// scalar is a text, which YAML may take for a number or a bool when it isn't quoted.
func scalar(text string) map[string]any {
	return map[string]any{"type": []any{"string", "number", "boolean"}, "description": text}
}
