/** Who takes part in the benchmark of isolation, at which addresses, with which credentials. */
import {
  type JwtWork,
  makeApiKeys,
  makeCertificate,
  makeTokens,
  type TlsWork,
  type WorkTenant,
} from '../harness/work.ts'

const QUIET = 'quiet'
const QUIET_SOURCE = '127.0.0.2'
/** Each kind of noise has a tenant and an address of its own: what limits one kind never hides another. */
const NOISY = ['flood', 'slow-reads', 'uploads', 'new-tls', 'bad-tokens', 'hung']
const FIRST_NOISY_SOURCE = 3

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
  /** Address that it calls from. */
  readonly source: string
  /** Its name, which TLS handshakes ask for. */
  readonly host: string
}

export interface Scene {
  readonly quiet: Tenant
  /** By the name of their scenario, which is their id. */
  readonly noisy: readonly Tenant[]
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
  const tenantOf = async (id: string, source: string, upstream: number): Promise<Tenant> => {
    const credential = await keys.credentialOf(id)
    return { id, credential, upstream, source, host: `${id}.test` }
  }
  const noisy = NOISY.map(async (id, index) =>
    tenantOf(id, `127.0.0.${FIRST_NOISY_SOURCE + index}`, ports.noisy),
  )
  return {
    quiet: await tenantOf(QUIET, QUIET_SOURCE, ports.quiet),
    noisy: await Promise.all(noisy),
    jwt: tokens.jwt,
    badToken: tokens.foreignCredential,
    tls: makeCertificate(folder, false),
  }
}
