/** Who takes part in the benchmark of isolation, at which addresses, with which credentials. */
import {
  type JwtWork,
  makeApiKeys,
  makeCertificate,
  makeTokens,
  type TlsWork,
  type WorkTenant,
} from '../harness/work.ts'

/** Addresses that they come from. */
export const QUIET_SOURCE = '127.0.0.2'
export const NOISY_SOURCE = '127.0.0.3'
/** Name of the noisy one that handshakes ask for. */
export const NOISY_HOST = 'noisy.test'

/** Everything but small calls is asked for by path. */
export const PATHS = {
  call: '/v1/orders/4711',
  /** Answers with {@link LARGE_BYTES}. */
  large: '/large',
  /** Never answers. */
  hung: '/hung',
  /** Takes a body. */
  upload: '/upload',
} as const

export const LARGE_BYTES: number = 64 * 2 ** 20
export const UPLOAD_BYTES: number = 256 * 2 ** 20

export interface Tenant extends WorkTenant {
  /** Port of its deployment, on 127.0.0.1. */
  readonly upstream: number
}

export interface Scene {
  readonly quiet: Tenant
  readonly noisy: Tenant
  /** Its tokens are taken as well, though only bad ones are sent. */
  readonly jwt: JwtWork
  /** Well formed, with a signature of nobody. */
  readonly badToken: string
  readonly tls: TlsWork
}

/** Makes it all new, with files in `folder`. */
export async function prepareScene(
  folder: string,
  ports: { readonly quiet: number; readonly noisy: number },
): Promise<Scene> {
  const keys = makeApiKeys()
  const tokens = await makeTokens(folder)
  if (tokens.jwt === undefined) throw new Error('tokens without an issuer')
  const tenantOf = async (id: 'quiet' | 'noisy'): Promise<Tenant> => ({
    id,
    credential: await keys.credentialOf(id),
    upstream: ports[id],
  })
  return {
    quiet: await tenantOf('quiet'),
    noisy: await tenantOf('noisy'),
    jwt: tokens.jwt,
    badToken: tokens.foreignCredential,
    tls: makeCertificate(folder, false),
  }
}
