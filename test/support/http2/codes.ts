/** Codes of RST_STREAM and GOAWAY that AMT itself never says (RFC 9113 §7). */
export const INTERNAL_ERROR = 0x2
