//! The routes of named streams, for the document alone: they are those of objects' streams under another path.

use utoipa::Modify;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::{ObjectBuilder, OpenApi as Document, RefOr, Required, Schema, schema::Type};

use crate::http::path::Route;

/// Adds the routes.
pub(super) struct NamedStreams;

impl Modify for NamedStreams {
    fn modify(&self, document: &mut Document) {
        let paths = &mut document.paths.paths;
        for route in Route::ALL {
            let Some((label, mut item)) = route.named_label().zip(paths.get(route.label()).cloned()) else { continue };
            if let Some(operation) = &mut item.get {
                name(operation);
            }
            paths.insert(label.to_owned(), item);
        }
    }
}

/// Makes it the operation of a named stream.
fn name(operation: &mut Operation) {
    if let Some(id) = &mut operation.operation_id {
        id.insert_str(0, "named_");
    }
    let parameters = operation.parameters.get_or_insert_default();
    parameters.retain(|parameter| !is_in_path(parameter));
    let part = |name: &str, description: &str| {
        let text = Schema::Object(ObjectBuilder::new().schema_type(Type::String).build());
        let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Path).required(Required::True);
        RefOr::T(parameter.description(Some(description)).schema(Some(text)).build())
    };
    parameters.push(part("tenant", "The stream's tenant; each part is percent-encoded"));
    parameters.push(part("name", "The stream's name"));
}

const fn is_in_path(parameter: &RefOr<Parameter>) -> bool {
    matches!(parameter, RefOr::T(Parameter { parameter_in: ParameterIn::Path, .. }))
}
