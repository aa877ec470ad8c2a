/** A rule for the API keys of one tenant; that two tenants do not claim the same one is a matter of all claims. */
import type { Located, Verdicts } from './draft.ts'
import { mention, type Place, placeIn } from './problem.ts'
import type { CredentialConfig, TenantConfig } from './schema.ts'

type ApiKeyCredential = Extract<CredentialConfig, { apiKey: string }>

/** Twice the same key: label and expiry of which of them? */
export function checkApiKeys({ value, place }: Located<TenantConfig>, verdicts: Verdicts): void {
  // One alone is what nearly all tenants have: the map would take 1 µs of each.
  if (value.credentials.filter(isApiKey).length < 2) return
  const first = new Map<string, Place>()
  for (const [index, credential] of value.credentials.entries()) {
    if (!isApiKey(credential)) continue
    const at = placeIn(place, 'credentials', index)
    const other = first.get(credential.apiKey)
    if (other === undefined) first.set(credential.apiKey, at)
    else {
      const message = `the API key ${credential.apiKey} is listed twice; it stands also at ${mention(other)}`
      verdicts.problem(at, message)
    }
  }
}

function isApiKey(credential: CredentialConfig): credential is ApiKeyCredential {
  return 'apiKey' in credential
}
