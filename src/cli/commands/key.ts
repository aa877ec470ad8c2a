import { createHash, randomBytes } from 'node:crypto'
import { Command } from 'commander'
import { API_KEY_RANDOM_BYTES, formatApiKey } from '../../core/api-key.ts'
import { tenantOption } from '../options.ts'

/** `amt key`: a new API key. Nothing keeps it; the configuration holds its digest. */
export function keyCommand(): Command {
  return new Command('key')
    .description('make an API key; it is printed once and kept nowhere')
    .addOption(tenantOption().makeOptionMandatory())
    .option('--json', 'print {tenant, key, digest} as JSON')
    .addHelpText('after', '\nExample:\n  amt key --tenant acme\n')
    .action(({ tenant, json }: { tenant: string; json?: true }) => {
      const made = newApiKey(tenant)
      process.stdout.write(json ? `${JSON.stringify(made)}\n` : describe(made))
    })
}

export interface NewApiKey {
  readonly tenant: string
  readonly key: string
  /** `sha256:<hex>` of the whole key: what the configuration holds. */
  readonly digest: string
}

/** A new key of `tenant`, which must be a valid id. */
export function newApiKey(tenant: string): NewApiKey {
  const key = formatApiKey(tenant, randomBytes(API_KEY_RANDOM_BYTES))
  return { tenant, key, digest: apiKeyDigest(key) }
}

/** `sha256:<hex>` of a key, as credentials in the configuration have it. */
export function apiKeyDigest(key: string): string {
  return `sha256:${createHash('sha256').update(key).digest('hex')}`
}

function describe({ tenant, key, digest }: NewApiKey): string {
  return `API key of ${tenant}, shown this once:
  ${key}

Under \`credentials:\` of tenant ${tenant} in the configuration:
  - apiKey: ${digest}
`
}
