//! `/inbox-admin/v1/brands`

use std::sync::Arc;

use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tidings_store::{Brand, BrandId, BrandTaken, KeyScope, Put, is_brand_name, settings::Origins};

use super::{made, need_installation, ok, within};
use crate::{
    Inbox,
    brands::DEFAULT_REGION,
    http::{Call, Reply},
    own::read_json,
    params::Params,
    problem::Problem,
    sid::is_web_address,
};

const REGION_MAX: usize = 64;
const URL_MAX: usize = 2048;
const ORIGINS_MAX: usize = 100;

/// A brand as it is sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    id: Option<i64>,
    name: String,
    app_id: String,
    region: Option<String>,
    sid_url: Option<String>,
    #[serde(default)]
    test_sid: bool,
    #[serde(default)]
    allowed_origins: Vec<String>,
}

impl Inbox {
    pub(super) async fn admin_brands(
        &self,
        call: &Call,
        scope: KeyScope,
        path: &[&str],
    ) -> Result<Reply, Problem> {
        Params::read(call.parts.uri.query(), &[])?;
        match (&call.parts.method, path) {
            (&Method::GET, []) => {
                let brands = self.brands.all();
                let shown = brands.iter().filter(|brand| is_open(scope, brand.id));
                let brands: Value = shown.map(|brand| self.shown(brand)).collect();
                Ok(ok(&json!({"brands": brands})))
            }
            (&Method::POST, []) => {
                need_installation(scope)?;
                let sent: Sent = read_json(&call.body)?;
                let id = sent.id.ok_or_else(|| Problem::Unacceptable("id is missing".to_owned()))?;
                let id = BrandId::new(id)
                    .ok_or_else(|| Problem::Unacceptable("id must be from 1 to 2147483647".to_owned()))?;
                let brand = self.put_brand(id, sent, Put::Add).await?;
                Ok(made(StatusCode::CREATED, &self.shown(&brand), call, &id.to_string()))
            }
            (&Method::GET, [id]) => Ok(ok(&self.shown(&*self.open_brand(scope, id)?))),
            (&Method::PUT, [id]) => {
                need_installation(scope)?;
                let id = self.open_brand(scope, id)?.id;
                let sent: Sent = read_json(&call.body)?;
                if sent.id.is_some_and(|sent| sent != id.get()) {
                    return Err(Problem::Unacceptable("id cannot be changed".to_owned()));
                }
                Ok(ok(&self.shown(&self.put_brand(id, sent, Put::Replace).await?)))
            }
            (_, []) => Err(Problem::Method("GET, POST")),
            (_, [_]) => Err(Problem::Method("GET, PUT")),
            _ => Err(Problem::NotFound("path")),
        }
    }

    fn open_brand(&self, scope: KeyScope, id: &str) -> Result<Arc<Brand>, Problem> {
        let id = id.parse().ok().and_then(BrandId::new).filter(|id| is_open(scope, *id));
        id.and_then(|id| self.brands.by_id(id)).ok_or(Problem::NotFound("brand"))
    }

    async fn put_brand(&self, id: BrandId, sent: Sent, put: Put) -> Result<Brand, Problem> {
        if self.brands.is_configured(id) {
            return Err(Problem::Conflict(format!(
                "brand {id} stands in the configuration file; change it there, and start the server again"
            )));
        }
        let brand = self.read_brand(id, sent)?;
        let name_taken = || Problem::Conflict(format!("there is another brand with the name {}", brand.name));
        // One of the configuration would hide it.
        if self.brands.by_name(&brand.name).is_some_and(|other| other.id != id) {
            return Err(name_taken());
        }
        self.store.put_brand(brand.clone(), put, self.now()).await?.map_err(|taken| match taken {
            BrandTaken::Id => Problem::Conflict(format!("there is a brand with the id {id}")),
            BrandTaken::Name => name_taken(),
        })?;
        self.reload().await?;
        Ok(brand)
    }

    fn read_brand(&self, id: BrandId, sent: Sent) -> Result<Brand, Problem> {
        let wrong = |problem: String| Err(Problem::Unacceptable(problem));
        let Sent { id: _, name, app_id, region, sid_url, test_sid, allowed_origins } = sent;
        if !is_brand_name(&name) {
            return wrong("name must have 1 to 64 lower-case letters, digits, - and _".to_owned());
        }
        if self.server.app(&app_id).is_none() {
            return wrong(format!(
                "there is no app with the id {app_id:?}; `tidings apps list` tells which there are"
            ));
        }
        let region = region.unwrap_or_else(|| DEFAULT_REGION.to_owned());
        within("region", &region, REGION_MAX)?;
        if sid_url.as_deref().is_some_and(|url| url.len() > URL_MAX || !is_web_address(url)) {
            return wrong(format!(
                "sid_url must be an http or https address of at most {URL_MAX} characters"
            ));
        }
        if allowed_origins.len() > ORIGINS_MAX {
            return wrong(format!("there are {} origins, the most is {ORIGINS_MAX}", allowed_origins.len()));
        }
        let allowed_origins = Origins::parse(allowed_origins)
            .map_err(|error| Problem::Unacceptable(format!("allowed_origins: {error}")))?;
        Ok(Brand { id, name, app_id, region, sid_url, test_sid, allowed_origins })
    }

    fn shown(&self, brand: &Brand) -> Value {
        json!({
            "id": brand.id.get(),
            "name": brand.name,
            "app_id": brand.app_id,
            "region": brand.region,
            "sid_url": brand.sid_url,
            "test_sid": brand.test_sid,
            "allowed_origins": brand.allowed_origins.texts(),
            "configured": self.brands.is_configured(brand.id),
        })
    }
}

fn is_open(scope: KeyScope, brand: BrandId) -> bool {
    match scope {
        KeyScope::Installation => true,
        KeyScope::Brand(own) => own == brand,
    }
}
