import type { CredentialResult, Evidence } from '../classify/classify.ts'
import type { TenantDirectory } from '../tenant/directory.ts'
import { normalizeServerName } from '../tenant/host-name.ts'
import type { Tenant } from '../tenant/tenant.ts'
import { type ClientCertificate, ownerOfCertificate } from './client-certificate.ts'

/**
 * The credentials of the last call on a connection and what they amounted to. Calls on a connection nearly always carry
 * the same ones; then comparing strings is all that is left to do.
 */
export class CredentialMemo {
  authorization = ''
  apiKeyField = ''
  jwt: CredentialResult = undefined
  fieldKey: CredentialResult = undefined
  schemeKey: CredentialResult = undefined
  /** Of the credentials of the last call, so that only those that come again are copied. */
  fingerprint = 0
  /** Number of the authenticator's state that this is from; -1: nothing is remembered. */
  epoch = -1
  validUntilMs = 0
}

/** By what a connection can be somebody's before it has said a word. */
export interface ArrivalClaims {
  /** Local address of the connection; `''` where it says nothing (shared mode). */
  readonly address: string
  /** Id of the tenant that had the address when the connection came; undefined where nobody had. */
  readonly addressOwner: string | undefined
  /** The private link through which it came, as `ProxyFacts` has it; `''` where it came through none. */
  readonly link: string
  /** As `addressOwner`. */
  readonly linkOwner: string | undefined
}

/** Of a connection on a shared listener, without a PROXY header. */
export const NO_CLAIMS: ArrivalClaims = Object.freeze({
  address: '',
  addressOwner: undefined,
  link: '',
  linkOwner: undefined,
})

export interface EvidenceOptions {
  readonly mode: Evidence['mode']
  readonly http: boolean
  readonly arrival: ArrivalClaims
  readonly certificate: ClientCertificate | undefined
  /** Address of the peer; '' where it says nothing of who sends (`trustedProxies`). Checks of tokens are counted by it. */
  readonly source: string
  /** The SNI name of TLS that was ended, here or at a balancer that says so; `''` where there is none. */
  readonly serverName: string
  /** Whether it was. */
  readonly secure: boolean
  /** Of the connection. */
  readonly memo: CredentialMemo
}

/**
 * Evidence as connections keep it. One object serves the calls of an HTTP/1.1 connection, one after the other; calls
 * that run at the same time need one each, and share the memo of their connection.
 */
export class CallEvidence implements Evidence {
  readonly mode: Evidence['mode']
  readonly http: boolean
  readonly memo: CredentialMemo
  readonly source: string
  readonly #arrival: ArrivalClaims
  /** Of the client, verified. */
  readonly certificate: ClientCertificate | undefined
  readonly #serverName: string
  readonly secure: boolean
  #generation = Number.NaN
  addressTenant: Tenant | 'tenant_mismatch' | undefined = undefined
  linkTenant: Tenant | 'tenant_mismatch' | undefined = undefined
  serverTenant: Tenant | undefined = undefined
  certificateTenant: Evidence['certificateTenant'] = undefined
  jwt: CredentialResult = undefined
  apiKey: CredentialResult = undefined
  /** Set by the owner for each call, from the directory that `Authenticator.directory` is then. */
  hostTenant: Tenant | undefined = undefined
  /** What the API key in its own field is, and the one in `Authorization`; `apiKey` is both together. */
  fieldKey: CredentialResult = undefined
  schemeKey: CredentialResult = undefined
  /** A check is under way; its result must not meet that of another. */
  checking = false

  constructor(options: EvidenceOptions) {
    this.mode = options.mode
    this.http = options.http
    this.memo = options.memo
    this.source = options.source
    this.#arrival = options.arrival
    this.certificate = options.certificate
    this.#serverName = normalizeServerName(options.serverName)
    this.secure = options.secure
  }

  /** For another call of the same connection, at the same time. */
  another(): CallEvidence {
    return new CallEvidence({
      mode: this.mode,
      http: this.http,
      arrival: this.#arrival,
      certificate: this.certificate,
      serverName: this.#serverName,
      secure: this.secure,
      source: this.source,
      memo: this.memo,
    })
  }

  /**
   * Whether no call of the connection can be anybody's any more: another tenant has got the address or the link since it
   * came, or where they alone decide nobody has them.
   */
  get stranded(): boolean {
    const { addressTenant, linkTenant } = this
    if (addressTenant === 'tenant_mismatch' || linkTenant === 'tenant_mismatch') return true
    return this.mode === 'private' && addressTenant === undefined && linkTenant === undefined
  }

  /** Whether `Authorization` carried one of our credentials: then the deployment does not see it, unless asked for. */
  get ownsAuthorization(): boolean {
    return typeof this.jwt === 'object' || typeof this.schemeKey === 'object'
  }

  /** The same for the field that API keys come in. */
  get ownsApiKey(): boolean {
    return typeof this.fieldKey === 'object'
  }

  /**
   * Finds the owners of address, private link, certificate and SNI name anew if `directory` is another one than before. A
   * connection lives longer than a snapshot: with tenants of two snapshots a changed tenant would contradict itself, and a
   * removed one live on.
   */
  resolve(directory: TenantDirectory): void {
    if (this.#generation === directory.generation) return
    this.#generation = directory.generation
    const { address, addressOwner, link, linkOwner } = this.#arrival
    this.addressTenant =
      address === '' ? undefined : stillOf(addressOwner, directory.byAddress(address))
    this.linkTenant = link === '' ? undefined : stillOf(linkOwner, directory.byPrivateLink(link))
    this.certificateTenant =
      this.certificate === undefined ? undefined : ownerOfCertificate(this.certificate, directory)
    this.serverTenant = this.#serverName === '' ? undefined : directory.byHost(this.#serverName)
  }
}

/**
 * Whose the address or link is now, for a connection that came when it was `owner`'s. A connection is made to one tenant:
 * where another has got the address meanwhile, what comes over it is meant for neither.
 */
function stillOf(
  owner: string | undefined,
  found: Tenant | undefined,
): Tenant | 'tenant_mismatch' | undefined {
  return owner === undefined || found === undefined || found.id === owner
    ? found
    : 'tenant_mismatch'
}
