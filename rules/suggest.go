package rules

// suggest is "; did you mean …?" for the known name that is closest to a mistyped one, "" where none is close.
func suggest(name string, known []string) string {
	best, distance := "", 1+len(name)/3
	if len(name) > 64 {
		return ""
	}
	for _, k := range known {
		if d := editDistance(name, k, distance); d < distance || d == distance && best == "" {
			best, distance = k, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

// editDistance counts the bytes to insert, remove or change that make a into b; more than limit is given as limit + 1.
func editDistance(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := diagonal
			if a[i-1] != b[j-1] {
				change++
			}
			diagonal, row[j] = row[j], min(change, row[j]+1, row[j-1]+1)
		}
	}
	return min(row[len(b)], limit+1)
}
