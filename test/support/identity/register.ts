/** Registers tenants with a mixer, as a proxy would. */
import type { TenantRegistration } from '../../../src/contracts/registration.ts'
import { createMixerClient } from '../../../src/runtime/mixer-client.ts'
import { registration } from '../registry/registrations.ts'
import { TOKEN } from '../start-mixer.ts'

let generation = 0

export async function register(
  { url, ca }: { readonly url: string; readonly ca?: string },
  tenants: readonly TenantRegistration[],
): Promise<void> {
  const client = createMixerClient({ url, token: TOKEN, ca })
  generation += 1
  const result = await client.register(registration(generation, [tenants]))
  await client.close()
  if (!result.ok) throw new Error(result.detail)
  if (result.answer.missing.length > 0 || result.answer.generation !== generation)
    throw new Error(JSON.stringify(result.answer))
}
