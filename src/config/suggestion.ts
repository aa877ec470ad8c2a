/** "Did you mean": the allowed word that is nearest to a mistyped one. */

/** The nearest of `allowed`, if it is near enough that a slip of the keyboard explains it. */
export function nearest(word: string, allowed: readonly string[]): string | undefined {
  // Longer words than any key are not worth the quadratic comparison.
  if (word.length > 64) return undefined
  const plain = simplify(word)
  let best: { word: string; distance: number } | undefined
  for (const candidate of allowed) {
    const distance = editDistance(plain, simplify(candidate))
    if (!best || distance < best.distance) best = { word: candidate, distance }
  }
  const limit = Math.max(1, Math.floor(word.length / 3))
  return best && best.distance <= limit ? best.word : undefined
}

/** `client_ca`, `client-ca` and `ClientCA` are all `clientCa` to a person. */
function simplify(word: string): string {
  return word.toLowerCase().replaceAll(/[_-]/g, '')
}

/** Levenshtein distance. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i += 1) {
    const current = [i]
    for (let j = 1; j <= b.length; j += 1) {
      const substitution = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      current.push(Math.min((previous[j] ?? 0) + 1, (current[j - 1] ?? 0) + 1, substitution))
    }
    previous = current
  }
  return previous[b.length] ?? 0
}
