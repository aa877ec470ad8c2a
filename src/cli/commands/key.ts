import { createHash, randomBytes } from 'node:crypto'
import { Command, InvalidArgumentError, Option } from 'commander'
import { apiKeyCredential } from '../../config/credential-schema.ts'
import { API_KEY_RANDOM_BYTES, formatApiKey } from '../../core/api-key.ts'
import { parseDuration } from '../../core/units.ts'
import { tenantOption } from '../options.ts'

interface KeyOptions {
  readonly tenant: string
  readonly label?: string
  readonly expires?: string
  readonly json?: true
}

/** `amt key`: a new API key. Nothing keeps it; the configuration holds its digest. */
export function keyCommand(): Command {
  return new Command('key')
    .description('make an API key; it is printed once and kept nowhere')
    .addOption(tenantOption().makeOptionMandatory())
    .addOption(
      new Option('--label <text>', 'what the key is for').argParser((label: string) =>
        checked({ label }, label),
      ),
    )
    .addOption(
      new Option(
        '--expires <time>',
        'when it ends, such as 2027-01-01T00:00:00Z, or how long it lasts, such as 90d',
      ).argParser(expiryOf),
    )
    .option('--json', 'print {tenant, key, digest} and what else was given as JSON')
    .addHelpText('after', '\nExample:\n  amt key --tenant acme --label ci --expires 90d\n')
    .action(({ tenant, label, expires, json }: KeyOptions) => {
      const made = newApiKey(tenant)
      const entry = {
        ...(label !== undefined && { label }),
        ...(expires !== undefined && { expires }),
      }
      process.stdout.write(
        json ? `${JSON.stringify({ ...made, ...entry })}\n` : describe(made, entry),
      )
    })
}

/** A time stays as it was written; a duration begins now. */
function expiryOf(text: string): string {
  const lasts = parseDuration(text)
  const expires =
    lasts === undefined ? text : new Date(Date.now() + lasts).toISOString().replace(/\.\d+Z$/, 'Z')
  if (Date.parse(checked({ expires }, expires)) <= Date.now())
    throw new InvalidArgumentError('It must be in the future.')
  return expires
}

/** `value`, where the configuration would take it in that field. */
function checked(field: { label: string } | { expires: string }, value: string): string {
  const result = apiKeyCredential.pick({ label: true, expires: true }).safeParse(field)
  if (!result.success)
    throw new InvalidArgumentError(`It ${result.error.issues[0]?.message ?? 'is not taken'}.`)
  return value
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

interface Entry {
  readonly label?: string
  readonly expires?: string
}

function describe({ tenant, key, digest }: NewApiKey, { label, expires }: Entry): string {
  return `API key of ${tenant}, shown this once:
  ${key}

Under \`credentials:\` of tenant ${tenant} in the configuration:
  - apiKey: ${digest}
${label === undefined ? '' : `    label: ${JSON.stringify(label)}\n`}${expires === undefined ? '' : `    expires: ${expires}\n`}`
}
