/**
 * The fields about the origin of a connection's calls, as they were written last: they change only with the host, and
 * putting them together takes half a microsecond.
 */
import type { HeaderField } from '../../codec/http2/header-field.ts'
import { flatCopy } from '../../codec/latin1.ts'
import { type FormerHops, type Hop, NO_HOPS, type Origin, originFields } from './fields.ts'
import { fieldOf } from './message-fields.ts'

export class OriginMemo {
  readonly #origin: Origin
  readonly #hop: Hop
  #host = ''
  #lines = ''
  #fieldsHost = ''
  #fields: readonly HeaderField[] | undefined

  constructor(origin: Origin, hop: Hop) {
    this.#origin = origin
    this.#hop = hop
  }

  /** As lines, up to the value of `x-request-id`. `hops` are what a trusted peer said of this call, and never remembered. */
  linesFor(host: string, hops: FormerHops | undefined): string {
    if (hops !== undefined) return this.#linesOf(host, hops)
    if (this.#lines === '' || host !== this.#host) {
      // Copies: a text made of parts stays a tree in V8, which would be walked with every call (3 %), and a part of a head
      // keeps all of it.
      this.#host = flatCopy(host) ?? host
      const lines = this.#linesOf(host, NO_HOPS)
      this.#lines = flatCopy(lines) ?? lines
    }
    return this.#lines
  }

  /** As fields, without `x-request-id`. */
  fieldsFor(host: string, hops: FormerHops | undefined): readonly HeaderField[] {
    if (hops !== undefined) return this.#fieldsOf(host, hops)
    if (this.#fields === undefined || host !== this.#fieldsHost) {
      this.#fieldsHost = flatCopy(host) ?? host
      this.#fields = this.#fieldsOf(host, NO_HOPS)
    }
    return this.#fields
  }

  #linesOf(host: string, hops: FormerHops): string {
    let lines = ''
    for (const { name, value } of originFields(this.#origin, this.#hop, host, hops))
      lines += `${name}: ${value}\r\n`
    return `${lines}x-request-id: `
  }

  #fieldsOf(host: string, hops: FormerHops): HeaderField[] {
    return originFields(this.#origin, this.#hop, host, hops).map(({ name, value }) =>
      fieldOf(name, flatCopy(value) ?? value),
    )
  }
}
