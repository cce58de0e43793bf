// What all views see.
import { signal } from "@preact/signals";

export const status = signal(null); // of GET status
export const down = signal(""); // why aftermath does not answer
