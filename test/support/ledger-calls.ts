/** Reads the ledger as an operator does. */
import { createMixerClient } from '../../src/runtime/mixer-client.ts'
import { TOKEN } from './start-mixer.ts'

/** The calls of each tenant, as the ledger behind `url` has them. */
export async function callsByTenant(url: string): Promise<Record<string, number>> {
  const client = createMixerClient({ url, token: TOKEN })
  const result = await client.usage({ by: ['tenant'] })
  await client.close()
  if (!result.ok) throw new Error(result.detail)
  return Object.fromEntries(
    result.usage.windows.map(({ tenant, calls }) => [tenant ?? '', Number(calls)]),
  )
}
