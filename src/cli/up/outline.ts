import { readFile } from 'node:fs/promises'
import { parse } from 'yaml'
import { z } from 'zod'
import { TENANT_ID_PATTERN } from '../../core/tenant-id.ts'
import { DEFAULT_TRUST_DOMAIN } from '../certificate-files.ts'

/** What must be known of a configuration before the files that it refers to are made. */
export interface Outline {
  readonly tenants: readonly string[]
  /** Of all tenants. */
  readonly hosts: readonly string[]
  readonly trustDomain: string
}

const outlineSchema = z.object({
  tenants: z
    .array(
      z.object({
        id: z.string().regex(TENANT_ID_PATTERN),
        hosts: z.array(z.string().regex(/^[a-z0-9.-]{1,253}$/)).catch([]),
      }),
    )
    .catch([]),
  authentication: z
    .object({ spiffe: z.object({ trustDomain: z.string() }) })
    .catch({ spiffe: { trustDomain: DEFAULT_TRUST_DOMAIN } }),
})

/** Reads as much as it can. Mistakes are no concern here: the loader reports them all a moment later. */
export async function readOutline(configPath: string): Promise<Outline> {
  const text = await readFile(configPath, 'utf8').catch(() => '')
  const { data } = outlineSchema.safeParse(parseOrNothing(text))
  return {
    tenants: data?.tenants.map(({ id }) => id) ?? [],
    hosts: data?.tenants.flatMap(({ hosts }) => hosts) ?? [],
    trustDomain: data?.authentication.spiffe.trustDomain ?? DEFAULT_TRUST_DOMAIN,
  }
}

function parseOrNothing(text: string): unknown {
  try {
    return parse(text, { logLevel: 'silent' })
  } catch {
    return {}
  }
}
