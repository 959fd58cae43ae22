/**
 * The one place the view library is imported from.
 *
 * `html` makes Preact nodes from tagged templates. Whatever is put into a template becomes a text
 * node or a property, never markup: there is no way from a string to an element in these pages.
 */
import { h, render, Fragment, createContext, createRef } from "./vendor/preact.js";
import {
  useCallback, useContext, useEffect, useErrorBoundary, useId, useLayoutEffect, useMemo,
  useReducer, useRef, useState,
} from "./vendor/hooks.js";
import htm from "./vendor/htm.js";

export const html = htm.bind(h);
export {
  h, render, Fragment, createContext, createRef, useCallback, useContext, useEffect,
  useErrorBoundary, useId, useLayoutEffect, useMemo, useReducer, useRef, useState,
};
