/**
 * Whether two pieces of configuration (what JSON can hold) say the same. `node:util`'s deep comparison does too, at
 * several times the cost, and a reload compares every tenant.
 */
export function sameConfig(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Array.isArray(a) || Array.isArray(b))
    return Array.isArray(a) && Array.isArray(b) && sameArray(a, b)
  return sameRecord(a as Record<string, unknown>, b as Record<string, unknown>)
}

function sameArray(a: readonly unknown[], b: readonly unknown[]): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i += 1) if (!sameConfig(a[i], b[i])) return false
  return true
}

/** A key whose value is `undefined` is as good as absent: JSON drops it on the way between processes. */
function sameRecord(a: Record<string, unknown>, b: Record<string, unknown>): boolean {
  for (const key in a) if (!sameConfig(a[key], b[key])) return false
  for (const key in b) if (a[key] === undefined && b[key] !== undefined) return false
  return true
}
