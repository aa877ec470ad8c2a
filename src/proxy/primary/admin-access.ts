/**
 * Who may ask the admin server. On a unix socket that is for the file system to say. With a token it is who has it; without
 * one who is on this machine, and no web page in the browser of an operator.
 */
import type { IncomingMessage } from 'node:http'
import { socketPathOf } from '../../config/admin-schema.ts'
import type { ErrorCode } from '../../core/errors.ts'
import { bearerCheck } from '../../runtime/bearer-token.ts'
import { hostName, splitAddress } from './admin-address.ts'

export interface AdminAccessOptions {
  /** `host:port` or `unix:PATH`. */
  readonly address: string
  readonly token: string | undefined
}

export class AdminAccess {
  readonly #tokenFits: ((authorization: string | undefined) => boolean) | undefined
  /** Undefined where names say nothing: nobody else's name leads to a file, and no page has the token. */
  readonly #host: string | undefined

  constructor({ address, token }: AdminAccessOptions) {
    this.#tokenFits = token === undefined ? undefined : bearerCheck(token)
    const byFile = socketPathOf(address) !== undefined
    this.#host = byFile || token !== undefined ? undefined : splitAddress(address).host
  }

  /** Whether the caller may ask for everything. */
  authorized({ headers }: IncomingMessage): boolean {
    return this.#tokenFits?.(headers.authorization) ?? true
  }

  /**
   * Against pages in an operator's browser. `Host`: a page whose name was rebound to 127.0.0.1 says its own name there.
   * `Origin`: a form on a page can POST here without reading the answer, and it always says where it comes from.
   */
  refusal({ headers }: IncomingMessage): ErrorCode | undefined {
    if (headers.host !== undefined && !this.#isOwnName(hostName(headers.host)))
      return 'host_not_allowed'
    const site = headers['sec-fetch-site']
    if (site !== undefined && site !== 'same-origin' && site !== 'none') return 'host_not_allowed'
    const { origin } = headers
    return origin === undefined || origin === `http://${headers.host}`
      ? undefined
      : 'host_not_allowed'
  }

  #isOwnName(name: string): boolean {
    return (
      this.#host === undefined ||
      name === this.#host ||
      name === 'localhost' ||
      name === '::1' ||
      /^127(\.\d{1,3}){3}$/.test(name)
    )
  }
}
