/** What the header section of a response says (RFC 9113 §8.3.2), checked as a request is. */
import { CONTENT_LENGTH, COOKIE, type HeaderField, OTHER, STATUS } from './header-field.ts'

const STATUS_CODE = /^[1-5]\d\d$/
const LENGTH = /^\d{1,15}$/

export class ResponseSection {
  status = 0
  /** -1 where it says none. */
  contentLength = -1
  /** All but the status and the length, in their order. */
  readonly fields: HeaderField[] = []

  /** False: it is malformed; the one error of a response is `upstream_malformed`. */
  read(list: readonly HeaderField[]): boolean {
    this.status = 0
    this.contentLength = -1
    this.fields.length = 0
    const [first] = list
    if (first?.role !== STATUS || !STATUS_CODE.test(first.value)) return false
    this.status = Number(first.value)
    // HTTP/2 has no change of protocol (§8.6).
    if (this.status === 101) return false
    for (let at = 1; at < list.length; at++) if (!this.#take(list[at] as HeaderField)) return false
    return true
  }

  #take(field: HeaderField): boolean {
    switch (field.role) {
      case OTHER:
      case COOKIE:
        this.fields.push(field)
        return true
      case CONTENT_LENGTH:
        if (this.contentLength >= 0 || !LENGTH.test(field.value)) return false
        this.contentLength = Number(field.value)
        return true
      default:
        return false
    }
  }
}
