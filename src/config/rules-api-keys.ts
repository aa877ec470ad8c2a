/** A rule for the API keys of one tenant; that two tenants do not claim the same one is a matter of all claims. */
import type { Located, Verdicts } from './draft.ts'
import { mention, type Place, placeIn } from './problem.ts'
import type { TenantConfig } from './schema.ts'

/** Twice the same key: label and expiry of which of them? */
export function checkApiKeys({ value, place }: Located<TenantConfig>, verdicts: Verdicts): void {
  if (value.credentials.length < 2) return
  const first = new Map<string, Place>()
  for (const [index, credential] of value.credentials.entries()) {
    if (!('apiKey' in credential)) continue
    const at = placeIn(place, 'credentials', index)
    const other = first.get(credential.apiKey)
    if (other === undefined) first.set(credential.apiKey, at)
    else {
      const message = `the API key ${credential.apiKey} is listed twice; it stands also at ${mention(other)}`
      verdicts.problem(at, message)
    }
  }
}
