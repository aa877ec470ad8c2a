/** What the header section of a response says (RFC 9113 §8.3.2), checked as a request is. */
import { CONTENT_LENGTH, COOKIE, OTHER, PRIORITY, STATUS } from './field-name.ts'
import type { HeaderField } from './header-field.ts'

const STATUS_CODE = /^[1-5]\d\d$/
const LENGTH = /^\d{1,15}$/

export class ResponseSection {
  status = 0
  /** -1 where it says none. */
  contentLength = -1
  /** All but the status and the length, in their order. */
  readonly fields: HeaderField[] = []

  /** The last one that was read: most answers say the same. */
  #statusField: HeaderField | undefined = undefined
  #validStatus = 0
  /** Of `fields`, while they are read. */
  #count = 0

  /** False: it is malformed; the one error of a response is `upstream_malformed`. */
  read(list: readonly HeaderField[]): boolean {
    this.status = 0
    this.contentLength = -1
    this.#count = 0
    const [first] = list
    if (first === undefined || (first !== this.#statusField && !this.#readStatus(first)))
      return false
    this.status = this.#validStatus
    let valid = true
    for (let at = 1; at < list.length && valid; at++) valid = this.#take(list[at] as HeaderField)
    // Not emptied first: V8 would give its memory back and take new for each section.
    while (this.fields.length > this.#count) this.fields.pop()
    return valid
  }

  #readStatus(field: HeaderField): boolean {
    if (field.role !== STATUS || !STATUS_CODE.test(field.value)) return false
    // HTTP/2 has no change of protocol (§8.6).
    if (field.value === '101') return false
    this.#statusField = field
    this.#validStatus = Number(field.value)
    return true
  }

  #take(field: HeaderField): boolean {
    switch (field.role) {
      case OTHER:
      case COOKIE:
      case PRIORITY:
        this.fields[this.#count++] = field
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
